// Package goprogram is what the judges have in common: a line protocol that
// Python can speak.
//
// Standard input carries one JSON request a line, standard output one JSON
// answer a line, in order. A request has "id" (returned as given), "op" and
// the fields of that operation. An answer has "id" and either "result" or
// "error"; a bad request never ends the process.
package goprogram

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Handler answers a request of an operation; line is the whole request.
type Handler func(op string, line []byte) (any, error)

type request struct {
	ID json.RawMessage `json:"id"`
	Op string          `json:"op"`
}

type answer struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Result any             `json:"result"`
	Error  string          `json:"error,omitempty"`
}

// Main answers until standard input ends, and ends the process.
func Main(handler Handler) {
	if err := serve(os.Stdin, os.Stdout, handler); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer, handler Handler) error {
	reader := bufio.NewReaderSize(in, 1<<20)
	writer := bufio.NewWriterSize(out, 1<<20)
	encoder := json.NewEncoder(writer)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 1 {
			if err := encoder.Encode(handle(line, handler)); err != nil {
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

// handle answers one request. A judge that panics was asked something that an
// API server would have refused: that is the caller's error, no reason to stop.
func handle(line []byte, handler Handler) (reply answer) {
	var req request
	defer func() {
		if problem := recover(); problem != nil {
			reply = answer{ID: req.ID, Error: fmt.Sprint(problem)}
		}
	}()
	if err := json.Unmarshal(line, &req); err != nil {
		return answer{ID: req.ID, Error: "request: " + err.Error()}
	}
	result, err := handler(req.Op, line)
	if err != nil {
		return answer{ID: req.ID, Error: err.Error()}
	}
	return answer{ID: req.ID, Result: result}
}

// Decode reads the fields of an operation from its request.
func Decode[T any](line []byte) (T, error) {
	var fields T
	if err := json.Unmarshal(line, &fields); err != nil {
		return fields, fmt.Errorf("request: %w", err)
	}
	return fields, nil
}
