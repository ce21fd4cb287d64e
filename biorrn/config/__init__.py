"""Recipes and sample sheets, validated without torch.

- network: models of the parts of a network and of Gaussian processes and forests
- recipe: the recipe: task, model, training, ensemble members; loading, changing, writing
- samples: the sample sheet of the workflow
- yaml: YAML of bounded size, `--set`, and validation errors in one line
"""
