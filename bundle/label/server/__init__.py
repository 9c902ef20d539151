"""What runs inside MONAI Label's process: imports ``monailabel``, and is imported by nothing else of the bundle."""
