"""Is a dataset on disk what its card says, and are scenes there twice?"""
