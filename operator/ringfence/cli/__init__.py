"""The command `ringfence`: a thin front door for people and pipelines. What it answers, the parts behind it decide."""
