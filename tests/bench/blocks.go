// Blocks writes a month of token counters as blocks of Prometheus's storage, and says what was really counted.
//
// Pods come and go; each has counters for many combinations of namespace, model and token type, most of which appear some
// time after the pod has; some pods' processes start anew once. The same arguments write the same samples.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"os"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const day = 86400

var types = []string{"input", "output", "cached_input", "reasoning"}

// counter is one series of a pod: what it has counted by the time that was reached.
type counter struct {
	labels labels.Labels
	key    string
	born   int64
	value  int64
	random *rand.Rand
}

type pod struct {
	begin, end, restart int64
	scrape              []labels.Labels
	counters            []*counter
}

func main() {
	out := flag.String("out", "", "the directory of the blocks")
	start := flag.Int64("start", 0, "when the month begins (Unix seconds)")
	days := flag.Int64("days", 30, "its length")
	beside := flag.Int("pods", 10, "how many pods there are at a time")
	life := flag.Int64("life", 3*day, "how long a pod lives (seconds)")
	combinations := flag.Int("combinations", 125, "of namespace and model, in each pod")
	step := flag.Int64("step", 120, "the scrape interval (seconds)")
	flag.Parse()

	end := *start + *days*day
	pods := population(*start, end, *beside, *life, *combinations)
	truth := map[string]int64{}
	// The day before the month as well: the first pods are older than it.
	for from := *start - day; from < end; from += day {
		if err := write(*out, pods, from, *start, *step, truth); err != nil {
			fmt.Fprintln(os.Stderr, "blocks:", err)
			os.Exit(1)
		}
	}
	series := 0
	for _, p := range pods {
		series += len(p.counters)
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"series": series, "pods": len(pods), "totals": truth})
}

// population makes the pods that live in a period, one generation after another.
func population(start, end int64, beside int, life int64, combinations int) []*pod {
	var found []*pod
	for number := 0; ; number++ {
		begin := start - 3600 + int64(number/beside)*life
		if begin >= end {
			return found
		}
		random := rand.New(rand.NewSource(int64(number)))
		p := &pod{begin: begin, end: begin + life}
		if random.Intn(10) == 0 {
			p.restart = begin + life/4 + random.Int63n(life/2)
		}
		name := fmt.Sprintf("envoy-gateway-%05d", number)
		target := []string{"instance", fmt.Sprintf("10.0.%d.%d:1064", number/250, number%250+1), "job", "gateways/metering", "namespace", "gateways", "pod", name}
		for _, metric := range []string{"up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"} {
			p.scrape = append(p.scrape, labels.FromStrings(append([]string{"__name__", metric}, target...)...))
		}
		for combination := range combinations {
			// A pod is scraped before its first request.
			born := begin + 600 + random.Int63n(life/8)
			for _, kind := range types {
				for _, metric := range []string{"sum", "count"} {
					namespace := fmt.Sprintf("team-%03d", combination%50)
					own := append([]string{"__name__", "gen_ai_client_token_usage_" + metric, "user_namespace", namespace, "gen_ai_request_model", fmt.Sprintf("model-%d", combination/50), "gen_ai_token_type", kind}, target...)
					p.counters = append(p.counters, &counter{labels: labels.FromStrings(own...), key: namespace + " " + kind + " " + metric, born: born, random: rand.New(rand.NewSource(random.Int63()))})
				}
			}
		}
		found = append(found, p)
	}
}

// write makes the block of a day.
func write(directory string, pods []*pod, from, start, step int64, truth map[string]int64) error {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	writer, err := tsdb.NewBlockWriter(quiet, directory, day*1000)
	if err != nil {
		return err
	}
	ctx := context.Background()
	appender := writer.Appender(ctx)
	appended := 0
	put := func(series labels.Labels, time int64, value float64) error {
		_, err := appender.Append(storage.SeriesRef(0), series, time*1000, value)
		appended++
		return err
	}
	for time := from + step; time <= from+day; time += step {
		for _, p := range pods {
			if time < p.begin || time >= p.end {
				continue
			}
			anew := p.restart > time-step && p.restart <= time
			exposed := 20.0
			for _, c := range p.counters {
				if anew && c.born < time {
					// What begins anew has no counters until its next request.
					c.value, c.born = 0, time+2*step
				}
				if time < c.born {
					continue
				}
				var added int64
				// Now and then a request; at birth for certain.
				if c.value == 0 || c.random.Intn(20) == 0 {
					added = 1 + c.random.Int63n(1000)
				}
				c.value += added
				if time > start {
					truth[c.key] += added
				}
				if err := put(c.labels, time, float64(c.value)); err != nil {
					return err
				}
				exposed++
			}
			for index, series := range p.scrape {
				if err := put(series, time, []float64{1, exposed, exposed}[index]); err != nil {
					return err
				}
			}
		}
		if appended > 500_000 {
			if err := appender.Commit(); err != nil {
				return err
			}
			appender, appended = writer.Appender(ctx), 0
		}
	}
	if err := appender.Commit(); err != nil {
		return err
	}
	if _, err := writer.Flush(ctx); err != nil {
		return err
	}
	return writer.Close()
}
