// The report of a quantisation: all there is to say about it as JSON, and a page that draws that.
//
// The page is one file: template, charts (Chart.js) and data. It loads nothing.
#ifndef MPQ_APPS_REPORT_REPORT_H_
#define MPQ_APPS_REPORT_REPORT_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "apps/inspection.h"
#include "mpq/model.h"
#include "mpq/status.h"
#include "quantize/model_run.h"
#include "quantize/observations.h"

namespace mpq {

// A model of the same network at another size.
struct CurvePoint {
  std::string name;
  uint64_t bytes = 0;
  Agreement agreement;
};

struct ReportInput {
  std::string source, target;
  const Model* model = nullptr;  // integer
  ModelFacts facts;
  uint64_t float_bytes = 0;  // the float model in the same container
  Agreement agreement;
  Observations observations;
  std::vector<double> node_seconds;  // per node; empty: not measured
  std::vector<CurvePoint> curve;     // empty: none measured
};

nlohmann::ordered_json ReportJson(const ReportInput& input);

// A page with `report` in it. Nothing in it ends the script element it stands in.
std::string ReportPage(const nlohmann::ordered_json& report);

// .html makes a page, .json the data.
Status CheckReportPath(const std::string& path);
Status WriteReport(const nlohmann::ordered_json& report, const std::string& path);

// The time of each node, one thread and one image on this machine: the least of several runs.
Result<std::vector<double>> MeasureNodeSeconds(const Model& model);

}  // namespace mpq

#endif  // MPQ_APPS_REPORT_REPORT_H_
