import Foundation

/// Compares our encoders and decoders with swift-protobuf and protobuf-c, on one query and one result. All cases are
/// measured in turn, five times over, and the medians of the rounds printed: what else the machine does in the meantime hits all
/// alike.
///
/// Ours and protobuf-c encode into memory that is there; swift-protobuf makes an array. `quick` measures just long enough to show
/// that it works. Exits with a failure when decoding a view allocates.
@main
struct CodecBenchmark {
    static func main() throws {
        let quick = CommandLine.arguments.contains("quick")
        let duration: Duration = quick ? .milliseconds(1) : .milliseconds(40)
        let rounds = quick ? 1 : 5

        var groups = [("Query, 3 parameters", try queryCases()), ("Rows, 10 x 4", try rowsCases())]
        for group in groups.indices {
            for index in groups[group].1.indices { groups[group].1[index].calibrate(duration) }
        }
        for _ in 0..<rounds {
            for group in groups.indices {
                for index in groups[group].1.indices { groups[group].1[index].round() }
            }
        }

        var allocates = false
        for (title, measurements) in groups {
            print("\(title), medians of \(rounds)")
            print("    case                            ns   x swift-protobuf  x protobuf-c  allocations")
            for measurement in measurements {
                let kind = measurement.name.contains("encode") ? "encode" : "decode"
                let swift = measurements.first { $0.name == "swift-protobuf \(kind)" }!.median
                let c = measurements.first { $0.name == "protobuf-c \(kind)" }!.median
                print(
                    "    " + measurement.name.padding(toLength: 28, withPad: " ", startingAt: 0)
                        + String(
                            format: "%8.0f %12.1f %14.2f %12.1f", measurement.median, swift / measurement.median,
                            c / measurement.median, measurement.allocations))
                if measurement.name.hasSuffix("lazy"), measurement.allocations > 0 { allocates = true }
            }
        }
        if allocates {
            print("decoding a view allocates")
            exit(1)
        }
    }
}
