"""The chest phantom: a radiograph of a patient who does not exist."""
