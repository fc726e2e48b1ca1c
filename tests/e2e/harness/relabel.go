// Reads rules and labels as JSON, a case on each line, and says what Prometheus's own relabeling makes of each.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"gopkg.in/yaml.v3"
)

type question struct {
	// YAML as in Prometheus's configuration.
	Rules  string            `json:"rules"`
	Labels map[string]string `json:"labels"`
}

type answer struct {
	Valid bool `json:"valid"`
	// None where the rules drop it.
	Labels map[string]string `json:"labels"`
}

func read(asked question) answer {
	var rules []*relabel.Config
	if yaml.Unmarshal([]byte(asked.Rules), &rules) != nil {
		return answer{}
	}
	for _, rule := range rules {
		if rule.Validate(model.UTF8Validation) != nil {
			return answer{}
		}
	}
	builder := labels.NewBuilder(labels.FromMap(asked.Labels))
	if !relabel.ProcessBuilder(builder, rules...) {
		return answer{Valid: true}
	}
	return answer{Valid: true, Labels: builder.Labels().Map()}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if err := out.Encode(read(asked)); err != nil {
			panic(err)
		}
	}
}
