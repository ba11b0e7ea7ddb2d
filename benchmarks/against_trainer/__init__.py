"""The search's winner against a plain transformers Trainer run; see __main__.py."""
