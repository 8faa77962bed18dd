"""Deployment: a trained principal beside a learner that runs elsewhere, or in its logs."""
