// Command judge is the independent opinion on NetworkPolicies that the tests
// compare Ringfence (and the test-only enforcer) with: cyclonus' simulator and
// its generated test cases, behind a line protocol that Python can speak.
//
// Standard input carries one JSON request a line, standard output one JSON
// answer a line, in order. A request has "id" (returned as given), "op"
// ("cases" or "verdict") and the fields of that operation. An answer has "id"
// and either "result" or "error"; a bad request never ends the process.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/sirupsen/logrus"
)

// request holds the fields of every operation; unused ones stay empty.
type request struct {
	ID json.RawMessage `json:"id"`
	Op string          `json:"op"`
	casesRequest
	verdictRequest
}

type answer struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Result any             `json:"result"`
	Error  string          `json:"error,omitempty"`
}

func main() {
	// The simulator dumps whole policies at debug level; only warnings may pass,
	// and those to standard error, since standard output is the protocol.
	logrus.SetLevel(logrus.WarnLevel)
	logrus.SetOutput(os.Stderr)
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

// serve answers until the input ends.
func serve(in io.Reader, out io.Writer) error {
	reader := bufio.NewReaderSize(in, 1<<20)
	writer := bufio.NewWriterSize(out, 1<<20)
	encoder := json.NewEncoder(writer)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 1 {
			if err := encoder.Encode(handle(line)); err != nil {
				return err
			}
			if err := writer.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// handle answers one request. The simulator panics on policies that an API
// server would have refused (and on addresses that are none): that is the
// caller's error, not a reason to stop.
func handle(line []byte) (reply answer) {
	var req request
	defer func() {
		if problem := recover(); problem != nil {
			reply = answer{ID: req.ID, Error: fmt.Sprint(problem)}
		}
	}()
	if err := json.Unmarshal(line, &req); err != nil {
		return answer{ID: req.ID, Error: "request: " + err.Error()}
	}
	var result any
	var err error
	switch req.Op {
	case "cases":
		result, err = cases(req.casesRequest)
	case "verdict":
		result, err = verdict(req.verdictRequest)
	default:
		err = fmt.Errorf("op %q: want cases or verdict", req.Op)
	}
	if err != nil {
		return answer{ID: req.ID, Error: err.Error()}
	}
	return answer{ID: req.ID, Result: result}
}
