// Reads lists of words as JSON, one on each line, and says what Go's own flag package makes of each.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"io"
	"os"
)

type answer struct {
	Valid bool    `json:"valid"`
	Value *string `json:"value"`
}

func read(words []string) answer {
	set := flag.NewFlagSet("words", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.String("flag", "", "")
	set.String("other", "", "")
	if set.Parse(words) != nil {
		return answer{}
	}
	found := answer{Valid: true}
	set.Visit(func(one *flag.Flag) {
		if one.Name == "flag" {
			value := one.Value.String()
			found.Value = &value
		}
	})
	return found
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var words []string
		if err := json.Unmarshal(lines.Bytes(), &words); err != nil {
			panic(err)
		}
		if err := out.Encode(read(words)); err != nil {
			panic(err)
		}
	}
}
