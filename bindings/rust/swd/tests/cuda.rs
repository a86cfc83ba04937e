// SPDX-License-Identifier: Apache-2.0
//! The CUDA backend through the raw calls: the bits of the CPU backend, flat and as a list. Built with the feature `cuda`;
//! needs a device, or a simulator of the CUDA runtime in place of libcudart.so.
use std::ffi::c_void;
use std::ptr::{null, null_mut};

use swd::{backend_available, sys, Backend, Layout, Phase, Plan, State, Stats, Status, Workspace};

mod support;
use support::{Run, Setup};

extern "C" {
    fn cudaMalloc(pointer: *mut *mut c_void, bytes: usize) -> i32;
    fn cudaFree(pointer: *mut c_void) -> i32;
    fn cudaMemcpy(to: *mut c_void, from: *const c_void, bytes: usize, kind: i32) -> i32;
}
const TO_DEVICE: i32 = 1;
const TO_HOST: i32 = 2;

struct Device(*mut c_void, usize);

impl Device {
    fn of<T: Copy>(values: &[T]) -> Device {
        let bytes = std::mem::size_of_val(values);
        let mut pointer = null_mut();
        assert_eq!(unsafe { cudaMalloc(&mut pointer, bytes) }, 0);
        let device = Device(pointer, bytes);
        device.write(values);
        device
    }

    fn write<T: Copy>(&self, values: &[T]) {
        assert!(std::mem::size_of_val(values) <= self.1);
        assert_eq!(unsafe { cudaMemcpy(self.0, values.as_ptr().cast(), std::mem::size_of_val(values), TO_DEVICE) }, 0);
    }

    /// Waits for what the stream has been given.
    fn read<T: Copy>(&self, values: &mut [T]) {
        assert!(std::mem::size_of_val(values) <= self.1);
        let bytes = std::mem::size_of_val(values);
        assert_eq!(unsafe { cudaMemcpy(values.as_mut_ptr().cast(), self.0, bytes, TO_HOST) }, 0);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        unsafe { cudaFree(self.0) };
    }
}

/// The run's tensors on the device, and what the raw calls take.
struct OnDevice {
    plan: Plan,
    tensors: [Device; 4],
    state: Device,
    workspace: Device,
    buffers: sys::swd_buffers,
}

impl OnDevice {
    fn new(run: &Run) -> OnDevice {
        let plan = run.setup.clone().with(|args| args.backend = Backend::Cuda).plan();
        let tensors = [&run.param, &run.grad, &run.exp_avg, &run.exp_avg_sq].map(|x| Device::of(x));
        let state = Device::of(State::new(&plan).unwrap().as_bytes());
        let workspace = Device::of(&vec![0u8; plan.workspace_bytes().unwrap() as usize]);
        let mut buffers = sys::SWD_BUFFERS_INIT;
        (buffers.state, buffers.state_bytes) = (state.0, state.1 as u64);
        (buffers.workspace, buffers.workspace_bytes) = (workspace.0, workspace.1 as u64);
        unsafe { plan.workspace_init_raw(workspace.0, workspace.1 as u64, null_mut()) }.unwrap();
        if run.setup.args.layout == Layout::Flat {
            (buffers.param, buffers.grad) = (tensors[0].0, tensors[1].0);
            (buffers.exp_avg, buffers.exp_avg_sq) = (tensors[2].0, tensors[3].0);
        } else {
            for (buffer, tensor) in (0..).zip(&tensors) {
                let mut at = tensor.0.cast::<f32>().cast_const();
                let next = |n: &usize| {
                    let pointer: *const c_void = at.cast();
                    at = at.wrapping_add(*n);
                    pointer
                };
                let table: Vec<*const c_void> = run.setup.counts.iter().map(next).collect();
                unsafe { plan.set_pointers_raw(workspace.0, buffer, 0, &table, null_mut()) }.unwrap();
            }
        }
        OnDevice { plan, tensors, state, workspace, buffers }
    }

    fn step(&self, run: &Run, in_pieces: bool) {
        self.tensors[1].write(&run.grad);
        let args = sys::swd_step_args {
            groups: run.setup.groups.as_ptr().cast(),
            group_count: run.setup.groups.len() as u32,
            max_grad_norm: run.max_grad_norm,
            ..sys::SWD_STEP_ARGS_INIT
        };
        let (plan, buffers, stream) = (&self.plan, &self.buffers, null_mut());
        unsafe {
            if !in_pieces {
                return plan.step_raw(buffers, &args, stream).unwrap();
            }
            plan.discard_raw(self.workspace.0, self.workspace.1 as u64, stream).unwrap();
            plan.reduce_raw(buffers, &args, Phase::Grad, 1, plan.segment_count() as i64 - 1, stream).unwrap();
            plan.reduce_raw(buffers, &args, Phase::Grad, 0, 1, stream).unwrap();
            plan.fold_raw(buffers, &args, Phase::Grad, null_mut(), 0, stream).unwrap();
            plan.decide_raw(buffers, &args, Phase::Grad, null(), 0, stream).unwrap();
            plan.update_raw(buffers, &args, stream).unwrap();
        }
    }

    fn stats(&self) -> (Stats, Vec<f64>) {
        let (mut stats, mut lambda_eff) = (sys::swd_stats::default(), vec![0.0; self.plan.group_count()]);
        unsafe {
            self.plan.stats_fetch_raw(self.workspace.0, &mut stats, Some(&mut lambda_eff), null_mut()).unwrap();
            let inside = self.plan.stats_pointer_raw(self.workspace.0).unwrap() as usize;
            assert!((self.workspace.0 as usize..self.workspace.0 as usize + self.workspace.1).contains(&inside));
        }
        self.tensors[0].read(&mut [0.0f32]); // synchronises
        (stats.into(), lambda_eff)
    }

    /// What the device has, as a run has it.
    fn bits(&self, like: &Run) -> Vec<u32> {
        let mut run = Run::new(&like.setup);
        self.tensors[0].read(&mut run.param);
        self.tensors[2].read(&mut run.exp_avg);
        self.tensors[3].read(&mut run.exp_avg_sq);
        let mut image = vec![0u8; self.state.1];
        self.state.read(&mut image);
        run.state.load_bytes(&image).unwrap();
        run.bits()
    }
}

#[test]
fn cuda_gives_the_bits_of_the_cpu() {
    backend_available(Backend::Cuda).unwrap();
    for layout in [Layout::Flat, Layout::List] {
        let mut cpu = Run::new(&Setup::new(&[5000, 3, 17_001]).with(|args| args.layout = layout));
        let cuda = OnDevice::new(&cpu);
        for t in 0..4 {
            cpu.steps(t..t + 1);
            cuda.step(&cpu, t % 2 == 1);
            assert_eq!(cuda.bits(&cpu), cpu.bits(), "{layout:?}, step {t}");
            assert_eq!(cuda.stats(), (cpu.stats(), cpu.workspace.lambda_eff().unwrap()), "{layout:?}, step {t}");
        }
        unsafe { cuda.plan.state_rebuild_raw(&cuda.buffers, null_mut()) }.unwrap();
        cpu.rebuild();
        assert_eq!(cuda.bits(&cpu), cpu.bits());
    }
}

#[test]
fn a_cuda_plan_has_no_workspace_on_the_host() {
    let plan = Setup::new(&[4]).with(|args| args.backend = Backend::Cuda).plan();
    assert_eq!(Workspace::new(&plan).unwrap_err().status(), Status::UNEXPECTED);
}
