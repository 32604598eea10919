// SPDX-License-Identifier: BSD-3-Clause
import Foundation
import Testing

@testable import SwiftCodec

/// Threads that share a model, each with a decoder and an encoder of its own.
@Suite struct ThreadTests {
  @Test(arguments: [1, 2]) func eightThreadsOverOneModel(_ inner: Int) throws {
    let model = try Model(Fixtures.bytes("models/tiny-hyper.scm"))
    let picture = Fixtures.formulaPicture(width: 30, height: 50)
    let encoder = Encoder(model: model)
    encoder.segmentRows = 8
    let expected = try encoder.encode(picture, EncoderSettings(ratePoint: 0))
    let lock = NSLock()
    nonisolated(unsafe) var faults: [String] = []
    DispatchQueue.concurrentPerform(iterations: 8) { i in
      var execution = Execution()
      execution.threads = inner
      let decoder = Decoder(model: model, execution: execution)
      let encoder = Encoder(model: model)
      encoder.segmentRows = 8
      for turn in 0..<3 {
        var settings = EncoderSettings(
          position: RatePosition(index: turn == 2 ? 0 : i % (model.positions.upperBound.index + 1)))
        settings.execution = execution
        settings.rdoq = turn == 1 ? .quick : .off
        do {
          let bytes = try encoder.encode(picture, settings)
          let decoded = try decoder.decode(bytes.bytes)
          if decoded != bytes.reconstruction || turn == 2 && bytes.bytes != expected.bytes {
            lock.withLock { faults.append("thread \(i), turn \(turn): other bytes") }
          }
          if (try? decoder.decode(Array(bytes.bytes.dropLast()))) != nil {
            lock.withLock { faults.append("thread \(i): a cut file decodes") }
          }
        } catch {
          lock.withLock { faults.append("thread \(i): \(error)") }
        }
      }
    }
    #expect(faults.isEmpty, "\(faults)")
  }
}
