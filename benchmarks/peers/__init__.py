"""The same meta-iteration written with other libraries, to measure against."""
