// Command judge is the independent opinion on Pod Security Standards that the
// tests compare Ringfence with: the policies of Kubernetes' own Pod Security
// admission, behind a line protocol (e2e/goprogram). Operations: "checks",
// "evaluate" and "update".
package main

import (
	"fmt"
	"os"

	"ringfence.dev/e2e/goprogram"
)

func main() {
	judge, err := newJudge()
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
	goprogram.Main(judge.answer)
}

func (j *judge) answer(op string, line []byte) (any, error) {
	switch op {
	case "checks":
		return checks(), nil
	case "evaluate":
		req, err := goprogram.Decode[evaluateRequest](line)
		if err != nil {
			return nil, err
		}
		return j.evaluate(req)
	case "update":
		req, err := goprogram.Decode[updateRequest](line)
		if err != nil {
			return nil, err
		}
		return j.update(req)
	}
	return nil, fmt.Errorf("op %q: want checks, evaluate or update", op)
}
