"""Configurations: checks of values, objects as plain data, and YAML files."""
