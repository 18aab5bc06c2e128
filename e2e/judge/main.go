// Command judge is the independent opinion on NetworkPolicies that the tests
// compare Ringfence (and the test-only enforcer) with: cyclonus' simulator and
// its generated test cases, behind a line protocol (e2e/goprogram). Operations:
// "cases" and "verdict".
package main

import (
	"fmt"
	"os"

	"github.com/sirupsen/logrus"
	"ringfence.dev/e2e/goprogram"
)

func main() {
	// The simulator dumps whole policies at debug level; only warnings may pass,
	// and those to standard error, since standard output is the protocol.
	logrus.SetLevel(logrus.WarnLevel)
	logrus.SetOutput(os.Stderr)
	goprogram.Main(answer)
}

func answer(op string, line []byte) (any, error) {
	switch op {
	case "cases":
		req, err := goprogram.Decode[casesRequest](line)
		if err != nil {
			return nil, err
		}
		return cases(req)
	case "verdict":
		req, err := goprogram.Decode[verdictRequest](line)
		if err != nil {
			return nil, err
		}
		return verdict(req)
	}
	return nil, fmt.Errorf("op %q: want cases or verdict", op)
}
