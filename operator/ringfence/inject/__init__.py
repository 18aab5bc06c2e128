"""What Ringfence adds to pods. Decide whether, then build the patch; inject(inject(pod)) == inject(pod)."""
