test ../../../examples/policy-tests
test suites/wrong.yaml
test suites/wrong.yaml -k call -o junit
test suites/wrong.yaml -k opens -o json
test suites/malformed
test suites/wrong.yaml -k nothing
