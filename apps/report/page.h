// The page of a report, made by make_page.py from page.html and Chart.js: its text before the data
// and after it.
#ifndef MPQ_APPS_REPORT_PAGE_H_
#define MPQ_APPS_REPORT_PAGE_H_

#include <span>
#include <string_view>

namespace mpq {

extern const std::span<const std::string_view> kPageBeforeData, kPageAfterData;

}  // namespace mpq

#endif  // MPQ_APPS_REPORT_PAGE_H_
