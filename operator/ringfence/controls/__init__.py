"""What a pod must satisfy. One control a file, listed in ``registry``; ``evaluate`` is what everybody else asks."""
