// Command series checks that each series that rules and dashboards name is in a scrape.
//
//	series FILE...
//
// A FILE is a dashboard (.json), a rule file (.yaml) or a scrape in the Prometheus text format
// (.prom). Names are checked, and so are the labels that an expression selects or groups by.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"
)

// Labels that Prometheus adds to what it scrapes.
var targetLabels = []string{"namespace", "pod", "job", "instance", "container"}

// An expression, and where it stands.
type expression struct{ where, text string }

var (
	variable    = regexp.MustCompile(`\$(__)?[a-z_]+`)
	labelValues = regexp.MustCompile(`^label_values\((.+), *([a-z_]+)\)$`)
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(paths []string) error {
	scraped := map[string]map[string]bool{}
	var expressions []expression
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var found []expression
		switch filepath.Ext(path) {
		case ".json":
			found, err = ofDashboard(path, content)
		case ".yaml":
			found, err = ofRules(path, content)
		default:
			err = addScrape(scraped, content)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		expressions = append(expressions, found...)
	}
	if len(expressions) == 0 || len(scraped) == 0 {
		return fmt.Errorf("%d expressions and %d series: give rules or dashboards, and scrapes", len(expressions), len(scraped))
	}
	var wrong []error
	for _, e := range expressions {
		for _, problem := range check(e.text, scraped) {
			wrong = append(wrong, fmt.Errorf("%s: %s\n  in %s", e.where, problem, e.text))
		}
	}
	if len(wrong) == 0 {
		fmt.Printf("%d expressions name only what is in the scrapes (%d series)\n", len(expressions), len(scraped))
	}
	return errors.Join(wrong...)
}

func ofRules(path string, content []byte) ([]expression, error) {
	groups, errs := rulefmt.Parse(content, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
	var found []expression
	if groups != nil {
		for _, group := range groups.Groups {
			for _, rule := range group.Rules {
				found = append(found, expression{path + ", " + rule.Alert, rule.Expr})
			}
		}
	}
	return found, errors.Join(errs...)
}

func ofDashboard(path string, content []byte) ([]expression, error) {
	var dashboard struct {
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.NewDecoder(bytes.NewReader(content)).Decode(&dashboard); err != nil {
		return nil, err
	}
	var found []expression
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			return nil, fmt.Errorf("panel %q asks for nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			found = append(found, expression{path + ", " + panel.Title, target.Expr})
		}
	}
	for _, variable := range dashboard.Templating.List {
		if query, ok := variable.Query.(map[string]any); ok {
			text, _ := query["query"].(string)
			match := labelValues.FindStringSubmatch(text)
			if match == nil {
				return nil, fmt.Errorf("variable %q: %q is not label_values(SELECTOR, LABEL)", variable.Name, text)
			}
			found = append(found, expression{path + ", $" + variable.Name, fmt.Sprintf("count by (%s) (%s)", match[2], match[1])})
		}
	}
	return found, nil
}

func addScrape(scraped map[string]map[string]bool, content []byte) error {
	p, err := textparse.New(content, "text/plain", labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		return err
	}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var found labels.Labels
		p.Labels(&found)
		name := found.Get(model.MetricNameLabel)
		if scraped[name] == nil {
			scraped[name] = map[string]bool{}
		}
		found.Range(func(label labels.Label) { scraped[name][label.Name] = true })
	}
}

// check returns what an expression names and no scrape has.
func check(text string, scraped map[string]map[string]bool) []string {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(variable.ReplaceAllStringFunc(text, func(name string) string {
		if strings.HasPrefix(name, "$__") {
			return "5m"
		}
		return name
	}))
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	known := map[string]bool{}
	for _, label := range targetLabels {
		known[label] = true
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		series, ok := scraped[selector.Name]
		if !ok {
			problems = append(problems, "no program has the series "+selector.Name)
			return nil
		}
		for label := range series {
			known[label] = true
		}
		for _, matcher := range selector.LabelMatchers {
			if !series[matcher.Name] && !slices.Contains(targetLabels, matcher.Name) {
				problems = append(problems, selector.Name+" has no label "+matcher.Name)
			}
		}
		return nil
	})
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if aggregate, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range aggregate.Grouping {
				if !known[label] {
					problems = append(problems, "nothing has the label "+label)
				}
			}
		}
		return nil
	})
	slices.Sort(problems)
	return problems
}
