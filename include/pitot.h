/* pitot.h: everything that pitot offers to programs. Each header is a chapter of the manual:

   pitot/base.h    types, status codes, error messages
   pitot/option.h  options as data
   pitot/hooks.h   probes on a training loop that is not ours
   pitot/capture.h what a layer saw and what came back
   pitot/probe.h   how to write a probe
   pitot/linop.h   linear operators and preconditioners, as probes and hosts see them
   pitot/solve.h   eigenvalues of any operator, at one end or both
   pitot/quadrature.h  its spectrum as a whole
   pitot/trace.h   its trace, its diagonal, and systems with it
   pitot/curve.h   curvature of a net's loss as operators, and operators made of operators
   pitot/kron.h    Kronecker-factored curvature
   pitot/vivit.h   the GGN's eigenvalues and what gradients do along its eigenvectors
   pitot/precond.h an optimizer's preconditioner applied to vectors, and operators seen through it
   pitot/stale.h   how far a preconditioner in use is from a fresh one
   pitot/net.h     networks of named ops
   pitot/optim.h   optimizers
   pitot/data.h    data sets
   pitot/train.h   the built-in training loop
   pitot/log.h     reading what a run wrote */

#ifndef PITOT_H
#define PITOT_H

#include "pitot/base.h"
#include "pitot/capture.h"
#include "pitot/curve.h"
#include "pitot/data.h"
#include "pitot/hooks.h"
#include "pitot/kron.h"
#include "pitot/linop.h"
#include "pitot/log.h"
#include "pitot/net.h"
#include "pitot/optim.h"
#include "pitot/option.h"
#include "pitot/precond.h"
#include "pitot/probe.h"
#include "pitot/quadrature.h"
#include "pitot/solve.h"
#include "pitot/stale.h"
#include "pitot/trace.h"
#include "pitot/train.h"
#include "pitot/vivit.h"

#endif
