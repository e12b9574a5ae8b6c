"""Bodies of requests and answers. They never leave `api`: handlers convert them to entities and back."""
