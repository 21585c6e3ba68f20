"""Pretrained networks: location embeddings, read from published weights without torch."""
