"""Models of recorded choices: learning rules and the recurrent model, fitted and compared."""
