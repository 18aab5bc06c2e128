"""The words: frozen values that everything else speaks in. No I/O, no Kubernetes types, no clock."""
