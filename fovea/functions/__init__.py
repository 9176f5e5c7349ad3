"""What users call: PyTorch's signatures over the op table."""
