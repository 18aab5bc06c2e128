"""What a user would notice if it broke, tried on a real cluster where Ringfence is installed by Helm."""
