// Makes the table that tailburn's filters are held to: what cel-go says of each expression over each event.
//
//	cd tests/cel/make && go run . ../expressions.txt ../events.jsonl > ../table.jsonl
//
// A line of expressions.txt is an expression. In front of it may stand `refused: ` (tailburn does not support it
// and says what to write instead) or `nan 0,2: ` (at these events it compares what is not a number: there
// tailburn counts the event as unclassified, whatever CEL says). Lines that begin with `#` are comments.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

type row struct {
	Filter   string   `json:"filter"`
	Taken    bool     `json:"taken"`
	NaN      []int    `json:"nan,omitempty"`
	Verdicts []string `json:"verdicts,omitempty"`
	Error    string   `json:"cel_go_refuses,omitempty"`
}

var fields = []string{"tenant", "user", "operation", "dependency", "error_type", "trace_id", "event_id", "journey",
	"step", "status", "latency_ms", "weight"}

func environment() *cel.Env {
	options := []cel.EnvOption{
		cel.EnableIdentifierEscapeSyntax(),
		cel.Variable("outcome", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("measures", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("timestamp", cel.TimestampType),
	}
	for _, field := range fields {
		options = append(options, cel.Variable(field, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		log.Fatal(err)
	}
	return env
}

// event reads a line: status is a whole number, what else is a number a double.
func event(line string) map[string]any {
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	var raw map[string]any
	if err := decoder.Decode(&raw); err != nil {
		log.Fatalf("%s: %v", line, err)
	}
	outcome := map[string]any{}
	for name, value := range raw {
		switch value := value.(type) {
		case json.Number:
			outcome[name] = number(name, value)
		case map[string]any:
			inner := map[string]any{}
			for key, item := range value {
				if digits, ok := item.(json.Number); ok {
					inner[key] = number(key, digits)
				} else {
					inner[key] = item
				}
			}
			// A map is there where it holds something.
			if len(inner) > 0 {
				outcome[name] = inner
			}
		default:
			if name != "user" || value != "" {
				outcome[name] = value
			}
		}
	}
	variables := map[string]any{"outcome": outcome, "measures": map[string]any{}, "attributes": map[string]any{}}
	for name, value := range outcome {
		variables[name] = value
	}
	return variables
}

func number(name string, digits json.Number) any {
	if name == "status" {
		whole, err := strconv.ParseInt(string(digits), 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		return whole
	}
	double, err := strconv.ParseFloat(string(digits), 64)
	if err != nil {
		log.Fatal(err)
	}
	if name == "timestamp" {
		return time.UnixMilli(int64(double)).UTC()
	}
	return double
}

func verdict(value ref.Val, err error) string {
	switch {
	case err != nil:
		return "unclassified"
	case value == types.True:
		return "true"
	case value == types.False:
		return "false"
	default:
		return fmt.Sprintf("%v", value.Value())
	}
}

func read(line string) row {
	if rest, ok := strings.CutPrefix(line, "refused: "); ok {
		return row{Filter: rest}
	}
	if rest, ok := strings.CutPrefix(line, "nan "); ok {
		list, filter, _ := strings.Cut(rest, ": ")
		made := row{Filter: filter, Taken: true}
		for _, digits := range strings.Split(list, ",") {
			index, err := strconv.Atoi(digits)
			if err != nil {
				log.Fatal(err)
			}
			made.NaN = append(made.NaN, index)
		}
		return made
	}
	return row{Filter: line, Taken: true}
}

func lines(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	var kept []string
	for _, line := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			kept = append(kept, line)
		}
	}
	return kept
}

func main() {
	env := environment()
	var events []map[string]any
	for _, line := range lines(os.Args[2]) {
		events = append(events, event(line))
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, line := range lines(os.Args[1]) {
		made := read(line)
		ast, issues := env.Compile(made.Filter)
		if issues.Err() == nil {
			program, err := env.Program(ast)
			if err != nil {
				made.Error = firstLine(err.Error())
			} else {
				for _, variables := range events {
					value, _, err := program.Eval(variables)
					made.Verdicts = append(made.Verdicts, verdict(value, err))
				}
			}
		} else {
			made.Error = firstLine(issues.Err().Error())
		}
		if err := encoder.Encode(made); err != nil {
			log.Fatal(err)
		}
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
