"""Books a trade list that others published, and says where their figures and ours part."""
