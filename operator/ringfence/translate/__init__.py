"""From meaning to Kubernetes objects: pure functions whose output is sorted and byte-stable."""
