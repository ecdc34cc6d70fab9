"""Reading and writing media, datasets and input pipelines."""
