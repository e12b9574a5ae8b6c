"""Bodies of requests and answers. They never leave `api`: handlers turn them into entities and back."""
