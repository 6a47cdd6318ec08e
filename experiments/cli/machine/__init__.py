"""Commands that simulate a machine: a model, a whole inference or a GeMM, and where the numbers come from."""
