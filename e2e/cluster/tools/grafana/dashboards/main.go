// Command dashboards checks that Grafana dashboards follow Grafana's own schema, those of their panels and queries included,
// and that no two panels lie upon each other.
//
//	dashboards FILE...
//
// It is strict: a field that the schema doesn't know is an error, since Grafana would pass it over.
package main

import (
	"fmt"
	"os"

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
	var board dashboard.Dashboard
	if err := board.UnmarshalJSONStrict(content); err != nil {
		return 0, err
	}
	if err := board.Validate(); err != nil {
		return 0, err
	}
	return len(board.Panels), laidOut(board.Panels)
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
