"""Numbers: formats as frozen value objects, pure functions over NumPy arrays. No files, no models, no clocks."""
