"""Deployment: a trained principal with a learner that runs elsewhere, live or from its logs."""
