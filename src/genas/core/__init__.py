"""What has nothing to do with architectures: errors, settings, registry, devices, run folders, files, progress."""
