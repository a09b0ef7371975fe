"""What leaves the project: export folders, ONNX, model cards, the Hugging Face hub."""
