// Command dashboards checks that Grafana dashboards follow Grafana's own schema, those of their panels and queries included,
// and that no two panels lie upon each other.
//
//	dashboards FILE...
//
// It is strict: a field that the schema doesn't know is an error, since Grafana would pass it over. One that it requires may be
// missing, since Grafana sets it to its default when it loads the dashboard.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// What a dashboard is wide.
const columns = 24

func main() {
	plugins.RegisterDefaultPlugins()
	failed := false
	for _, path := range os.Args[1:] {
		panels, err := check(path)
		if err != nil {
			failed = true
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			continue
		}
		fmt.Printf("%s: %d panels\n", path, panels)
	}
	if failed || len(os.Args) == 1 {
		os.Exit(1)
	}
}

func check(path string) (int, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if content, err = withSources(content); err != nil {
		return 0, err
	}
	var board dashboard.Dashboard
	if err := faults(board.UnmarshalJSONStrict(content)); err != nil {
		return 0, err
	}
	if err := board.Validate(); err != nil {
		return 0, err
	}
	return len(board.Panels), laidOut(board.Panels)
}

// withSources gives each query its panel's data source where it has none, as Grafana does: by it the query's schema is found.
func withSources(content []byte) ([]byte, error) {
	var board map[string]any
	if err := json.Unmarshal(content, &board); err != nil {
		return nil, err
	}
	panels, _ := board["panels"].([]any)
	for _, each := range panels {
		panel, _ := each.(map[string]any)
		targets, _ := panel["targets"].([]any)
		for _, each := range targets {
			if target, isObject := each.(map[string]any); isObject && target["datasource"] == nil {
				target["datasource"] = panel["datasource"]
			}
		}
	}
	return json.Marshal(board)
}

// faults is an error without what is only missing.
func faults(err error) error {
	if err == nil {
		return nil
	}
	var left cog.BuildErrors
	for _, fault := range cog.MakeBuildErrors("dashboard", err) {
		if fault.Message != "required field is missing from input" {
			left = append(left, fault)
		}
	}
	if left == nil {
		return nil
	}
	return left
}

// laidOut tells of panels with one id or place, and of those beyond the edge.
func laidOut(panels []dashboard.PanelOrRowPanel) error {
	ids := map[uint32]string{}
	taken := map[[2]uint32]string{}
	for _, each := range panels {
		panel := each.Panel
		if panel == nil {
			continue
		}
		if panel.Title == nil || panel.Id == nil || panel.GridPos == nil {
			return fmt.Errorf("a panel of type %s has no title, id or gridPos", panel.Type)
		}
		title, place := *panel.Title, panel.GridPos
		if other, found := ids[*panel.Id]; found {
			return fmt.Errorf("%q and %q have one id", other, title)
		}
		ids[*panel.Id] = title
		if place.X+place.W > columns {
			return fmt.Errorf("%q ends beyond the %d columns", title, columns)
		}
		for x := place.X; x < place.X+place.W; x++ {
			for y := place.Y; y < place.Y+place.H; y++ {
				if other, found := taken[[2]uint32{x, y}]; found {
					return fmt.Errorf("%q lies upon %q", title, other)
				}
				taken[[2]uint32{x, y}] = title
			}
		}
	}
	return nil
}
