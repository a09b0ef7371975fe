"""What is measured on a trained network: accuracy, calibration, robustness, unseen data, latency, flatness."""
