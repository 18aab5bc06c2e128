admit -f exceptions.in.yaml
admit -f exceptions.in.yaml -o yaml
