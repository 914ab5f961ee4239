"""The ways through a file: `decode` it, `scale` it by index bits towards its clip, `edit` what it shows."""
