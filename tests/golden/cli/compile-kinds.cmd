compile -f shop.in.yaml --kind ValidatingAdmissionPolicyBinding -o json
