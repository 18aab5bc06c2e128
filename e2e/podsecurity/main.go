// Command judge is the independent opinion on Pod Security Standards that the
// tests compare Ringfence with: the policies of Kubernetes' own Pod Security
// admission, behind a line protocol that Python can speak.
//
// Standard input carries one JSON request a line, standard output one JSON
// answer a line, in order. A request has "id" (returned as given), "op"
// ("checks", "evaluate" or "update") and the fields of that operation. An
// answer has "id" and either "result" or "error".
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// request holds the fields of every operation; unused ones stay empty.
type request struct {
	ID json.RawMessage `json:"id"`
	Op string          `json:"op"`
	evaluateRequest
	updateRequest
}

type answer struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Result any             `json:"result"`
	Error  string          `json:"error,omitempty"`
}

func main() {
	judge, err := newJudge()
	if err == nil {
		err = serve(judge, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

// serve answers until the input ends.
func serve(judge *judge, in io.Reader, out io.Writer) error {
	reader := bufio.NewReaderSize(in, 1<<20)
	writer := bufio.NewWriterSize(out, 1<<20)
	encoder := json.NewEncoder(writer)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 1 {
			if err := encoder.Encode(handle(judge, line)); err != nil {
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

func handle(judge *judge, line []byte) answer {
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return answer{ID: req.ID, Error: "request: " + err.Error()}
	}
	var result any
	var err error
	switch req.Op {
	case "checks":
		result = checks()
	case "evaluate":
		result, err = judge.evaluate(req.evaluateRequest)
	case "update":
		result, err = judge.update(req.updateRequest)
	default:
		err = fmt.Errorf("op %q: want checks, evaluate or update", req.Op)
	}
	if err != nil {
		return answer{ID: req.ID, Error: err.Error()}
	}
	return answer{ID: req.ID, Result: result}
}
