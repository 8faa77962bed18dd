"""The engine in C++, compiled at first use."""
