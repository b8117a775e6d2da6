module kubesentiment.io/e2e/tools/grafana

go 1.26.0

tool kubesentiment.io/e2e/tools/grafana/dashboards

require github.com/grafana/grafana-foundation-sdk/go v0.0.22
