"""The native path: the hot loops in C++, built on first use."""
