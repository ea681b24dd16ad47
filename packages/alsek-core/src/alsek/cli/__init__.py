"""The command line: one program, `alsek`, to which every installed service adds its commands."""
