#include "apps/evaluation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/format/sample_models.h"
#include "tests/test_folder.h"

namespace mpq {
namespace {

TEST_CASE("one image") {
  const std::vector<float> logits = {1, 5, 3, 2, 0, -1, 4};
  const std::vector<float> reference = {1, 3, 5, 2, 0, -1, 4};
  const ImageScore score = ScoreImage(logits, reference, 2);
  CHECK(!score.top1);
  CHECK(score.top5);
  CHECK(score.reference_top1);
  CHECK(!score.agrees);
  CHECK(score.signal == doctest::Approx(1 + 9 + 25 + 4 + 0 + 1 + 16));
  CHECK(score.noise == doctest::Approx(8));
  // KL(p || q) with q the same logits but two swapped: (p2 - p1) * 2.
  double sum = 0;
  for (float z : reference) sum += std::exp(double{z});
  CHECK(score.kl == doctest::Approx(2 * (std::exp(5.0) - std::exp(3.0)) / sum));
  CHECK(!ScoreImage(logits, {}, 5).top5);
  CHECK(!ScoreImage(logits, {}, kNoClass).top5);
  CHECK(ScoreImage(reference, reference, 2).kl == doctest::Approx(0));
}

TEST_CASE("shares, paired counts and their errors") {
  std::vector<ImageScore> scores(10);
  for (int i = 0; i < 10; ++i) {
    scores[i].top1 = i < 5;
    scores[i].top5 = true;
    scores[i].reference_top1 = i >= 1 && i < 8;  // lost 5, 6, 7; won 0
    scores[i].agrees = i % 2 == 0;
    scores[i].signal = 100;
    scores[i].noise = 1;
    scores[i].kl = i;
  }
  const Evaluation evaluation = Summarize(scores, true, true);
  CHECK(evaluation.images == 10);
  CHECK(evaluation.top1->value == doctest::Approx(0.5));
  CHECK(evaluation.top1->standard_error == doctest::Approx(std::sqrt(0.25 / 10)));
  CHECK(evaluation.top5->standard_error == doctest::Approx(0));
  const ReferenceScores& reference = *evaluation.reference;
  CHECK(reference.top1->value == doctest::Approx(0.7));
  CHECK(reference.lost == 3);
  CHECK(reference.won == 1);
  CHECK(reference.top1_change->value == doctest::Approx(-0.2));
  CHECK(reference.top1_change->standard_error == doctest::Approx(0.2));
  CHECK(reference.agreement.value == doctest::Approx(0.5));
  CHECK(reference.mean_kl.value == doctest::Approx(4.5));
  CHECK(reference.mean_kl.standard_error == doctest::Approx(std::sqrt(8.25 / 10)));
  CHECK(reference.logit_snr_db.value == doctest::Approx(20));
  CHECK(reference.logit_snr_db.standard_error == doctest::Approx(0));

  SUBCASE("without classes or reference") {
    CHECK(!Summarize(scores, false, true).top1);
    CHECK(!Summarize(scores, false, true).reference->top1_change);
    CHECK(!Summarize(scores, true, false).reference);
  }
  SUBCASE("no noise at all") {
    for (ImageScore& score : scores) score.noise = 0;
    CHECK(std::isinf(Summarize(scores, true, true).reference->logit_snr_db.value));
  }
}

ModelData Classifier(uint32_t seed, uint32_t classes) {
  SampleBuilder builder(/*is_float=*/false, 32, 32, seed);
  const uint32_t t = builder.Conv(builder.input(), 16, {.kernel = 3, .stride = 2, .pad = 1});
  return builder.Finish(builder.Logits(builder.GlobalAvgPool(t), classes));
}

TEST_CASE("the number of threads does not matter") {
  const TestFolder folder;
  std::string lines;
  for (int i = 0; i < 23; ++i) {
    const std::string name = std::to_string(i) + ".ppm";
    folder.Write(name, Ppm(40, 33, static_cast<uint8_t>(i * 11), 128, static_cast<uint8_t>(i * 7)));
    lines += name + "\t" + std::to_string(i % 7) + "\n";
  }
  folder.Write("labels.tsv", lines);
  Dataset dataset;
  REQUIRE(dataset.Add(folder.path()).ok());
  const auto model = Model::FromData(Classifier(1, 7));
  const auto other = Model::FromData(Classifier(2, 7));
  REQUIRE(model.ok());
  REQUIRE(other.ok());
  EvaluationOptions options;
  size_t last_done = 0;
  const auto progress = [&](size_t done) { last_done = done; };
  const auto one = Evaluate(*model, &*other, dataset, options, progress);
  CHECK(last_done == 23);
  options.threads = 3;
  const auto three = Evaluate(*model, &*other, dataset, options, {});
  REQUIRE(one.ok());
  REQUIRE(three.ok());
  CHECK(one->images == 23);
  CHECK(one->top1->value == three->top1->value);
  CHECK(one->reference->mean_kl.value == three->reference->mean_kl.value);
  CHECK(one->reference->logit_snr_db.value == three->reference->logit_snr_db.value);
  const auto itself = Evaluate(*model, &*model, dataset, options, {});
  REQUIRE(itself.ok());
  CHECK(itself->reference->agreement.value == 1);
  CHECK(itself->reference->mean_kl.value == doctest::Approx(0));

  SUBCASE("errors") {
    const auto seven = Model::FromData(Classifier(1, 6));
    REQUIRE(seven.ok());
    CHECK(Evaluate(*seven, nullptr, dataset, options, {})
              .status()
              .message()
              .ends_with("class 6, the model has 6 classes"));
    const auto more = Model::FromData(Classifier(1, 8));
    REQUIRE(more.ok());
    CHECK(Evaluate(*model, &*more, dataset, options, {}).status().message() ==
          "the reference has 8 classes, the model 7");
    folder.Write("11.ppm", "broken");
    CHECK(Evaluate(*model, nullptr, dataset, options, {}).status().message() ==
          folder.path() + "/11.ppm: no image: unknown image type");
    CHECK(!Evaluate(*model, nullptr, Dataset(), options, {}).ok());
  }
}

}  // namespace
}  // namespace mpq
