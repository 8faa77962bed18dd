"""A fleet of learners behind HTTP, with their log in a database."""
