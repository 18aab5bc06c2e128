admit -f pods.in.yaml --against files
